"""Feltone's speed beside what a user would take instead: `feltone bench`.

harness.py      sides in processes of their own, taking turns so that drift cancels
worker.py       such a process
plain.py        the method as a careful person would first write it
rivals.py       openSMILE, AST, wav2vec 2.0, OpenVINO
recognition.py  file -> probabilities
startup.py      cold starts, and what they load
training.py     steps of the three stages
gemm.py         how fast the machine multiplies matrices
growth.py       how cost grows with the corpus
tiny.py         a training so small that it can be killed again and again
soak.py         kills at random moments, and whether anything was lost
annotating.py   an archive of short clips through every engine; memory of the list, where the time goes
scaling.py      from that, by simulation: archives that do not fit here
report.py       one document of it all, and its table
"""
