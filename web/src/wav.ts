/** Mono samples as a wav file of 16 bits, for playing what was spoken. */
export function wav(samples: Float32Array, rate: number): Blob {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const words = (at: number, text: string) => [...text].forEach((c, k) => bytes.setUint8(at + k, c.charCodeAt(0)));
  words(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  words(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true); // length of the format
  bytes.setUint16(20, 1, true); // whole numbers
  bytes.setUint16(22, 1, true); // one channel
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, 2 * rate, true); // bytes a second
  bytes.setUint16(32, 2, true); // bytes a sample
  bytes.setUint16(34, 16, true); // bits a sample
  words(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, k) => bytes.setInt16(44 + 2 * k, Math.max(-1, Math.min(1, sample)) * 32_767, true));
  return new Blob([bytes], { type: "audio/wav" });
}
