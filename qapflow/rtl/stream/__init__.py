"""RTL whose area follows the kernel and whose time follows the data: blocks and channels."""
