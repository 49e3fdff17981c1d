"""The functions of the public face: plain values in, a typed summary back."""
