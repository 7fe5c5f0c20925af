"""Libraries that people use instead, as targets to compare with. Each needs the package that it is named after."""
