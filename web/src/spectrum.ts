/** The power spectrum of a real frame, by a complex transform of half its size. */
export class Spectrum {
  private readonly half: number;
  private readonly real: Float64Array;
  private readonly imaginary: Float64Array;
  private readonly cosines: Float64Array;
  private readonly sines: Float64Array;
  private readonly reversed: Uint16Array;

  /** @param size points of the transform, a power of two from 4 on */
  constructor(readonly size: number) {
    if (size < 4 || (size & (size - 1)) !== 0)
      throw new RangeError(`a transform of ${size} points: give a power of two`);
    this.half = size / 2;
    this.real = new Float64Array(this.half);
    this.imaginary = new Float64Array(this.half);
    this.cosines = Float64Array.from({ length: this.half }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sines = Float64Array.from({ length: this.half }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    this.reversed = bitReversal(this.half);
  }

  /** Power of the bins 0 … size/2 of `frame`, at most `size` samples, into `power`, size/2 + 1 values. */
  of(frame: Float32Array, power: Float32Array): void {
    const { real, imaginary, half, reversed } = this;
    // Even samples are the real part, odd ones the imaginary part, already in the order the transform wants them.
    for (let k = 0; k < half; k++) {
      const at = 2 * reversed[k];
      real[k] = at < frame.length ? frame[at] : 0;
      imaginary[k] = at + 1 < frame.length ? frame[at + 1] : 0;
    }
    this.transform();
    const nyquist = real[0] - imaginary[0];
    power[0] = (real[0] + imaginary[0]) ** 2;
    power[half] = nyquist * nyquist;
    // The transforms of even and odd samples are told apart by symmetry and joined with one last turn. With
    // e and o for them, bin k is e + w·o and bin half-k the conjugate of e - w·o: one product serves both.
    for (let k = 1, m = half - 1; k <= m; k++, m--) {
      const evenReal = real[k] + real[m];
      const evenImaginary = imaginary[k] - imaginary[m];
      const oddReal = imaginary[k] + imaginary[m];
      const oddImaginary = real[m] - real[k];
      const turnedReal = oddReal * this.cosines[k] + oddImaginary * this.sines[k];
      const turnedImaginary = oddImaginary * this.cosines[k] - oddReal * this.sines[k];
      power[k] = ((evenReal + turnedReal) ** 2 + (evenImaginary + turnedImaginary) ** 2) / 4;
      power[m] = ((evenReal - turnedReal) ** 2 + (evenImaginary - turnedImaginary) ** 2) / 4;
    }
  }

  /** Radix 2 in place; the first two stages, whose factors are ±1 and ±i, in one. */
  private transform(): void {
    const { real, imaginary, half, cosines, sines } = this;
    let span = 1;
    if (half % 4 === 0) {
      for (let k = 0; k < half; k += 4) this.first(k);
      span = 4;
    }
    for (; span < half; span *= 2) {
      const step = half / span; // of the table, which is for a circle twice as fine
      for (let block = 0; block < half; block += 2 * span) {
        for (let k = block, turn = 0; k < block + span; k++, turn += step) {
          const m = k + span;
          const c = cosines[turn];
          const s = sines[turn];
          const re = real[m] * c + imaginary[m] * s;
          const im = imaginary[m] * c - real[m] * s;
          real[m] = real[k] - re;
          imaginary[m] = imaginary[k] - im;
          real[k] += re;
          imaginary[k] += im;
        }
      }
    }
  }

  private first(k: number): void {
    const { real, imaginary } = this;
    const a = real[k] + real[k + 1];
    const b = real[k] - real[k + 1];
    const c = real[k + 2] + real[k + 3];
    const d = real[k + 2] - real[k + 3];
    const e = imaginary[k] + imaginary[k + 1];
    const f = imaginary[k] - imaginary[k + 1];
    const g = imaginary[k + 2] + imaginary[k + 3];
    const h = imaginary[k + 2] - imaginary[k + 3];
    real[k] = a + c;
    real[k + 1] = b + h;
    real[k + 2] = a - c;
    real[k + 3] = b - h;
    imaginary[k] = e + g;
    imaginary[k + 1] = f - d;
    imaginary[k + 2] = e - g;
    imaginary[k + 3] = f + d;
  }
}

function bitReversal(size: number): Uint16Array {
  const reversed = new Uint16Array(size);
  for (let k = 1; k < size; k++) reversed[k] = (reversed[k >> 1] >> 1) | (k & 1 ? size >> 1 : 0);
  return reversed;
}
