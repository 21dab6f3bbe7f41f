/**
 * Band-limited resampling of a signal that comes in pieces, without delay.
 *
 * A sinc under a Kaiser window, in as many phases as the two rates need. The pass band ends at 91.3 % of the lower
 * rate's Nyquist frequency and the stop band begins at it, as in the resampler Feltone uses elsewhere.
 */

const PASS = 0.913; // of the lower Nyquist frequency
const REJECTION_DB = 100; // the image's floor is at 80

export class Resampler {
  private readonly up: number;
  private readonly down: number;
  private readonly reach: number; // input samples on either side of an output sample
  private readonly phases: Float32Array[]; // filter for each position between two input samples
  private held: Float32Array; // input samples still needed, the first of them at index `first`
  private first: number;
  private heard = 0;
  private made = 0;

  constructor(from: number, to: number) {
    const common = divisor(from, to);
    [this.up, this.down] = [to / common, from / common];
    const nyquist = Math.min(1, to / from); // of the lower rate, in input samples' half cycles
    const transition = Math.PI * nyquist * (1 - PASS);
    this.reach = Math.ceil((REJECTION_DB - 7.95) / (2.285 * transition) / 2);
    this.phases = Array.from({ length: this.up }, (_, k) => phase(k / this.up, this.reach, (nyquist * (1 + PASS)) / 2));
    this.held = new Float32Array(this.reach);
    this.first = -this.reach;
  }

  /** Hear more at the first rate; what is certain of it at the second. */
  push(samples: Float32Array): Float32Array {
    this.hold(samples);
    this.heard += samples.length;
    return this.take(Math.ceil(((this.heard - this.reach) * this.up) / this.down));
  }

  /** The rest, once nothing more will come. */
  end(): Float32Array {
    this.hold(new Float32Array(this.reach));
    return this.take(Math.round((this.heard * this.up) / this.down));
  }

  private hold(samples: Float32Array): void {
    const needed = Math.floor((this.made * this.down) / this.up) - this.reach;
    const kept = this.held.subarray(Math.max(0, needed - this.first));
    this.first += this.held.length - kept.length;
    this.held = joined([kept, samples]);
  }

  private take(until: number): Float32Array {
    const out = new Float32Array(Math.max(0, until - this.made));
    for (let k = 0; k < out.length; k++, this.made++) {
      const position = this.made * this.down;
      const filter = this.phases[position % this.up];
      const start = Math.floor(position / this.up) - this.reach - this.first;
      let sum = 0;
      for (let n = 0; n < filter.length; n++) sum += filter[n] * this.held[start + n];
      out[k] = sum;
    }
    return out;
  }
}

/** A whole recording at another rate. */
export function resampled(samples: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return samples;
  const resampler = new Resampler(from, to);
  return joined([resampler.push(samples), resampler.end()]);
}

/** Pieces after one another. */
export function joined(pieces: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Weights of the input samples around a position, `offset` after the middle one; they sum to 1. */
function phase(offset: number, reach: number, cutoff: number): Float32Array {
  const beta = 0.1102 * (REJECTION_DB - 8.7);
  const weights = Float64Array.from({ length: 2 * reach + 1 }, (_, k) => {
    const x = k - reach - offset;
    const inside = 1 - (x / (reach + 1)) ** 2;
    const sinc = x ? Math.sin(Math.PI * cutoff * x) / (Math.PI * x) : cutoff;
    return sinc * bessel(beta * Math.sqrt(inside));
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return Float32Array.from(weights, (weight) => weight / sum);
}

/** Modified Bessel function of the first kind and order zero. */
function bessel(x: number): number {
  let [term, sum] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function divisor(a: number, b: number): number {
  return b ? divisor(b, a % b) : a;
}
