"""The architectures' networks as torch modules. These files import torch, so they are imported inside functions only."""
