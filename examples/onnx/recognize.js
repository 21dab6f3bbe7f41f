// Run by the tests. node recognize.js MODEL.waveform.onnx clip.wav   (npm install onnxruntime-node)
const { readFileSync } = require('node:fs')
const { basename, dirname, join } = require('node:path')
const ort = require('onnxruntime-node') // or 'onnxruntime-web': the same interface, in browsers and in Node

async function main([model, clip]) {
  const session = await ort.InferenceSession.create(model)
  const { labels } = JSON.parse(readFileSync(join(dirname(model), 'export.json'), 'utf8'))[basename(model)]
  const wav = readFileSync(clip) // mono, 16 kHz, 16 bit
  const pcm = new Int16Array(new Uint8Array(wav.subarray(wav.indexOf('data') + 8)).buffer)
  const waveform = new ort.Tensor('float32', Float32Array.from(pcm, (sample) => sample / 32768), [1, pcm.length])
  const { probabilities, attention } = await session.run({ waveform })
  labels.forEach((label, k) => console.log(label, probabilities.data[k].toFixed(4)))
}

main(process.argv.slice(2))
