/**
 * What the network sees: the twin of src/feltone/features.py, which defines it.
 *
 * waveform -> power spectra of windowed frames -> mel bands -> dB below the clip's maximum -> [0, 1] -> columns
 *
 * Matrices lie row by row: levels are (frames, mel_bands), images (mel_bands, columns), low bands first.
 * tests/golden/page.json binds the twins to each other.
 */

import { Spectrum } from "./spectrum";

/** The front end of a model, under the names model.json has for it. */
export interface FeatureConfig {
  sample_rate: number; // Hz
  clip_seconds: number;
  fft_size: number;
  window_size: number; // samples
  hop_size: number; // samples
  mel_bands: number;
  min_hz: number;
  max_hz: number;
  floor_db: number;
  columns: number;
}

/** A clip whose strongest mel band is below this is digital silence. */
const SILENCE_POWER = 1e-18;

interface Weights {
  first: number; // index of the first weight
  values: Float32Array;
}

export class FrontEnd {
  /** Length of the analysed window in samples. */
  readonly clipSamples: number;
  /** Spectra per clip. */
  readonly frames: number;
  private readonly floor: number; // natural logarithm of the floor's power
  private readonly window: Float32Array;
  private readonly spectrum: Spectrum;
  private readonly bands: Weights[];
  private readonly areas: Weights[];

  constructor(readonly config: FeatureConfig) {
    this.clipSamples = Math.round(config.clip_seconds * config.sample_rate);
    this.frames = 1 + Math.floor(this.clipSamples / config.hop_size);
    this.floor = (config.floor_db / 10) * Math.LN10;
    this.window = hamming(config.window_size);
    this.spectrum = new Spectrum(config.fft_size);
    this.bands = melBands(config);
    this.areas = areas(this.frames, config.columns);
  }

  /** Image of the first `clip_seconds` of a mono waveform; null for digital silence, whose image is black. */
  image(samples: Float32Array): Float32Array | null {
    return this.imageOfPower(this.melPower(samples));
  }

  /** Image of mel power, which is replaced by its levels. */
  imageOfPower(mel: Float32Array): Float32Array | null {
    let peak = 0;
    for (const power of mel) if (power > peak) peak = power;
    if (peak < SILENCE_POWER) return null;
    const loudest = Math.log(peak);
    for (let k = 0; k < mel.length; k++) mel[k] = Math.log(mel[k]) - loudest; // of nothing: -Infinity, below any floor
    return this.imageOfLevels(mel);
  }

  /** Image of the frames a recording reaches, from their natural logarithm relative to the clip's peak. */
  private imageOfLevels(levels: Float32Array): Float32Array {
    const { mel_bands: bands, columns } = this.config;
    const image = new Float32Array(bands * columns);
    const sums = new Float64Array(bands);
    this.areas.forEach(({ first, values }, column) => {
      sums.fill(0);
      for (let k = 0; k < values.length && (first + k) * bands < levels.length; k++) {
        for (let band = 0, at = (first + k) * bands; band < bands; band++, at++) {
          if (levels[at] > this.floor) sums[band] += values[k] * (1 - levels[at] / this.floor);
        }
      }
      for (let band = 0; band < bands; band++) image[band * columns + column] = Math.min(1, Math.max(0, sums[band]));
    });
    return image;
  }

  /** Mel power of the frames that the first `clip_seconds` of a recording reach: (frames, mel_bands). */
  melPower(samples: Float32Array): Float32Array {
    const { window_size: size, hop_size: hop, mel_bands: bands } = this.config;
    const length = Math.min(samples.length, this.clipSamples);
    const count = length ? Math.min(this.frames, Math.ceil((length + size / 2) / hop)) : 0;
    const mel = new Float32Array(count * bands);
    const frame = new Float32Array(size);
    const power = new Float32Array(this.config.fft_size / 2 + 1);
    for (let row = 0; row < count; row++) {
      const start = row * hop - size / 2;
      for (let k = 0; k < size; k++) {
        const at = start + k;
        frame[k] = at >= 0 && at < length ? samples[at] * this.window[k] : 0;
      }
      this.spectrum.of(frame, power);
      this.bands.forEach(({ first, values }, band) => {
        let sum = 0;
        for (let k = 0; k < values.length; k++) sum += values[k] * power[first + k];
        mel[row * bands + band] = sum;
      });
    }
    return mel;
  }
}

/** Periodic Hamming window. */
function hamming(size: number): Float32Array {
  return Float32Array.from({ length: size }, (_, k) => 0.54 - 0.46 * Math.cos((2 * Math.PI * k) / size));
}

/** Mel of a frequency, the HTK form. */
export function hzToMel(hertz: number): number {
  return 2595 * Math.log10(1 + hertz / 700);
}

function melToHz(mel: number): number {
  return 700 * (10 ** (mel / 2595) - 1);
}

/** Triangles with peak 1, equally wide in mel. */
function melBands(config: FeatureConfig): Weights[] {
  const { mel_bands: count, fft_size: size } = config;
  const lowest = hzToMel(config.min_hz);
  const step = (hzToMel(config.max_hz) - lowest) / (count + 1);
  const edge = (k: number) => melToHz(lowest + k * step);
  const bins = Array.from({ length: size / 2 + 1 }, (_, k) => (k * config.sample_rate) / size);
  return Array.from({ length: count }, (_, band) => {
    const [low, tip, high] = [edge(band), edge(band + 1), edge(band + 2)];
    return nonZero(bins.map((hertz) => Math.min((hertz - low) / (tip - low), (high - hertz) / (high - tip))));
  });
}

/** For each column the frames it averages; one that straddles two columns counts for each by its overlap. */
function areas(frames: number, columns: number): Weights[] {
  const width = frames / columns;
  return Array.from({ length: columns }, (_, column) => {
    const start = column * width;
    const overlap = (frame: number) => Math.min(start + width, frame + 1) - Math.max(start, frame);
    return nonZero(Array.from({ length: frames }, (_, frame) => overlap(frame) / width));
  });
}

/** The stretch of weights above zero. */
function nonZero(weights: number[]): Weights {
  const positive = (weight: number) => weight > 0;
  const first = Math.max(0, weights.findIndex(positive));
  const end = weights.findLastIndex(positive) + 1;
  return { first, values: Float32Array.from(weights.slice(first, end)) };
}
