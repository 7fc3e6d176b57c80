"""The examples: where their data come from, and the show that runs the loop on one."""
