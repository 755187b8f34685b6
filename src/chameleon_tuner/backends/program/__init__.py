"""The backend for any program: a compile command and a run command with parameters.

It stands behind the same ports as the TVM backend and imports nothing of TVM.

- `template`: commands with placeholders
- `spec`, `parsing`, `reading`: the specification of a program, from a TOML file
- `timing`: how the time of a run is read
- `checking`: whether an output is that of the reference
- `running`: commands of a candidate, built and run in a folder of its own
- `handler`: what a worker process answers, with its parts `learned`, `candidates` and `finals`
- `project`: the task of a program, and what identifies it
"""
