/** A live signal on its way to the network: resampled, its image kept up to date, silence noticed. */

import type { FrontEnd } from "./features";
import { RollingImage } from "./live";
import { Resampler } from "./resample";

/** Seconds between two answers. */
export const INTERVAL_SECONDS = 0.25;
/** Below this root mean square, -50 dB of full scale, a stretch of sound is silence. */
export const GATE = 10 ** (-50 / 20);
/** Nothing is recognised once the sound has been below the gate for so long. */
export const PATIENCE_SECONDS = 1;

export class Listener {
  /** All that was heard, at the model's rate. */
  readonly kept: Float32Array[] = [];
  private readonly resampler: Resampler | null;
  private readonly rolling: RollingImage;
  private looked = 0; // samples that had been heard at the last look
  private loud = -Infinity; // samples that had been heard when it was last above the gate
  private square = 0; // sum of squares since the last look

  constructor(
    private readonly front: FrontEnd,
    rate: number,
  ) {
    this.resampler = rate === front.config.sample_rate ? null : new Resampler(rate, front.config.sample_rate);
    this.rolling = new RollingImage(front);
  }

  /** Hear more at the signal's own rate. */
  hear(sound: Float32Array): void {
    const samples = this.resampler ? this.resampler.push(sound) : sound;
    this.kept.push(samples);
    this.rolling.push(samples);
    const square = samples.reduce((sum, sample) => sum + sample * sample, 0);
    this.square += square;
    if (square > GATE ** 2 * samples.length) this.loud = this.rolling.heard;
  }

  /** Whether it is time for an answer. */
  get due(): boolean {
    return this.rolling.heard - this.looked >= INTERVAL_SECONDS * this.front.config.sample_rate;
  }

  /** The last seconds; the image is null while there is nothing but silence. */
  look(): { start: number; end: number; image: Float32Array | null; level: number; window: Float32Array } {
    const { sample_rate: rate } = this.front.config;
    const { heard } = this.rolling;
    const level = Math.sqrt(this.square / (heard - this.looked));
    this.looked = heard;
    this.square = 0;
    const window = this.rolling.window();
    const image = heard - this.loud < PATIENCE_SECONDS * rate ? this.rolling.image() : null;
    return { start: (heard - window.length) / rate, end: heard / rate, image, level, window };
  }
}
