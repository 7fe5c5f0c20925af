"""``python -m atomicops_stress`` is the command ``stress``, beside a folder of that name too."""

from atomicops_stress import main

if __name__ == "__main__":
    main()
