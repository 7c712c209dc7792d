"""Packets to exchanges: pure decoding of links and IP, pure TCP reassembly, and the two shells that read packets."""
