"""What is tested: one implementation of the operations a file, with its Bash side beside it.

``atomicops`` is ours; ``guide`` does what its users' guide prints; ``naive`` opens and writes. Each of the others is
correct but for one bug, which its first lines tell, and exists so that the test that finds nothing is known to look.
"""
