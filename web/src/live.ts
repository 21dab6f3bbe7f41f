/**
 * The image of the last seconds of a signal that has no end: the twin of src/feltone/live.py, which defines it.
 *
 * Frames lie on one grid from the signal's beginning. Each is transformed when it is heard whole; only those at the
 * window's two edges, which see silence beyond it, are transformed for each image.
 */

import type { FrontEnd } from "./features";

export class RollingImage {
  /** Samples heard so far. */
  heard = 0;
  private readonly edge: number; // frames that reach beyond an edge of the window
  private readonly piece: number; // samples that wait to be transformed, at most
  private readonly samples: Tape;
  private readonly power: Tape; // mel power, a frame per row
  private settled = 0; // frames that no sample to come will change

  constructor(private readonly front: FrontEnd) {
    const { window_size: window, hop_size: hop, mel_bands: bands } = front.config;
    this.edge = Math.ceil(window / (2 * hop));
    this.piece = Math.ceil(front.clipSamples / 4);
    this.samples = new Tape(front.clipSamples + this.edge * hop + this.piece, 1);
    this.power = new Tape(front.frames + this.edge, bands);
  }

  /** Hear more: mono samples at the front end's rate. */
  push(samples: Float32Array): void {
    for (let start = 0; start < samples.length; start += this.piece) {
      const some = samples.subarray(start, start + this.piece);
      this.samples.write(this.heard, some);
      this.heard += some.length;
      if (this.heard - this.settled * this.front.config.hop_size > this.piece) this.settle();
    }
  }

  /** The samples that `image` shows: the last ones but for less than a hop. */
  window(): Float32Array {
    const [start, end] = this.bounds();
    return this.samples.read(start, end).slice();
  }

  /** What `FrontEnd.image` makes of `window()`; null for digital silence. */
  image(): Float32Array | null {
    const { hop_size: hop, mel_bands: bands } = this.front.config;
    const [start] = this.bounds();
    this.settle();
    const first = start / hop;
    const mel = this.power.read(first, Math.min(this.power.end, first + this.front.frames)).slice();
    if (start) {
      // Once the window moves, its first frames are not those of the signal: the definition hears silence before it.
      const reached = this.samples.read(start, start + 2 * this.edge * hop);
      mel.set(this.front.melPower(reached).subarray(0, this.edge * bands));
    }
    return this.front.imageOfPower(mel);
  }

  /** Of the window, in samples; once it moves, its start stays on the grid of the frames. */
  private bounds(): [number, number] {
    const { clipSamples: size, config } = this.front;
    const start = Math.floor(Math.max(0, this.heard - size) / config.hop_size) * config.hop_size;
    return [start, Math.min(this.heard, start + size)];
  }

  /** Transform what is not settled; the last frames stay provisional. */
  private settle(): void {
    const { hop_size: hop, window_size: window, mel_bands: bands } = this.front.config;
    const end = this.bounds()[1];
    const first = Math.max(0, this.settled - this.edge); // where the samples begin that the next frame reaches
    const rows = this.front.melPower(this.samples.read(first * hop, end));
    this.power.write(this.settled, rows.subarray((this.settled - first) * bands));
    this.settled = Math.max(this.settled, Math.floor((end - window / 2) / hop) + 1);
  }
}

/** Rows under their absolute index, of which the last `keep` can be read. */
class Tape {
  end = 0;
  private first = 0;
  private readonly rows: Float32Array;

  constructor(
    private readonly keep: number,
    private readonly width: number,
  ) {
    this.rows = new Float32Array(2 * keep * width); // twice the room: rows move only once in `keep`
  }

  read(start: number, end: number): Float32Array {
    return this.rows.subarray((start - this.first) * this.width, (end - this.first) * this.width);
  }

  /** At most `keep` rows from index `at` on; they are the last from now on. */
  write(at: number, rows: Float32Array): void {
    const end = at + rows.length / this.width;
    if (end - this.first > 2 * this.keep) {
      const kept = Math.max(this.first, end - this.keep);
      this.rows.copyWithin(0, (kept - this.first) * this.width, (at - this.first) * this.width);
      this.first = kept;
    }
    this.rows.set(rows, (at - this.first) * this.width);
    this.end = end;
  }
}
