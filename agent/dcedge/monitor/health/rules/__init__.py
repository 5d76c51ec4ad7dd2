"""The rules of a verdict, a file a layer. A rule is one function: facts in, a verdict out where it has one to give.

Its reason names what is wrong, on whose side as far as that is known, and how it is known.
"""
