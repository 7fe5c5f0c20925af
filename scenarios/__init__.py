"""The world that the torture test hammers: state files shared by CLI agents (Bash, jq) and SDK agents (Python).

One scenario a file, each registered under the file's name; the files that they share are in `scenarios.world`, and the
implementations under test in ``targets``. Adding a scenario is adding a file here.
"""
