"""The networks of the architectures as torch modules. These files import torch: they are imported inside functions only."""
