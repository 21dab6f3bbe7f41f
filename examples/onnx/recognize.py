"""Run by the tests. python recognize.py MODEL.waveform.onnx clip.wav   (pip install onnxruntime; no Feltone)"""

import json
import sys
import wave

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
with wave.open(sys.argv[2]) as clip:  # mono, 16 kHz, 16 bit
    samples = numpy.frombuffer(clip.readframes(clip.getnframes()), numpy.int16) / numpy.float32(32768)
probabilities, attention = session.run(["probabilities", "attention"], {"waveform": samples[None]})
for label, probability in zip(labels, probabilities[0], strict=True):
    print(f"{label} {probability:.4f}")
