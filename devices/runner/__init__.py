"""The program that runs on a device, in C, and how to build it."""
