# SPDX-License-Identifier: GPL-2.0-only
"""dcedge-capture: listens on one port and tells what it heard, a line of JSON a frame.

A program of its own, which shares no code with dcedge: it is GPL-2.0-only, as scapy is, on which it rests.
"""
