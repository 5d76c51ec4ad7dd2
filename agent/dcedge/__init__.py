"""dcedge: the customer's end of a cloud Direct Connect on a Linux router."""

__version__ = "0.2.0"
