/** An encoded file -> channels. The browser decodes; at the file's own rate where its header is known. */

import { Fault } from "./faults";

const DEFAULT_RATE = 48_000; // no lower than most files': what the browser's own resampler cuts is above what is needed
const RATES = [1_000, 384_000]; // Hz; what is outside is a damaged header
const LARGEST = 512 << 20; // bytes of an encoded file; the tab holds its sound as a whole

/** Sound of a file, by channel. */
export interface Sound {
  channels: Float32Array[];
  rate: number;
}

/** Decode a file; a `Fault` naming it where that cannot be done. */
export async function decode(file: Blob, name: string): Promise<Sound> {
  if (!file.size) throw new Fault(`${name} is empty: choose another file.`);
  if (file.size > LARGEST)
    throw new Fault(`${name} is too large for a tab: cut it, or use feltone predict --timeline.`);
  const bytes = await file.arrayBuffer();
  const context = new OfflineAudioContext(1, 1, rateOf(new DataView(bytes)) ?? DEFAULT_RATE);
  const sound = await context.decodeAudioData(bytes).catch(() => null);
  if (!sound?.length) throw new Fault(`${name} cannot be decoded here: convert it to wav, flac, mp3, ogg or m4a.`);
  return {
    channels: Array.from({ length: sound.numberOfChannels }, (_, k) => sound.getChannelData(k)),
    rate: sound.sampleRate,
  };
}

/** Sampling rate that a wav, flac, ogg or mp3 says it has; undefined for others. */
export function rateOf(bytes: DataView): number | undefined {
  const read = [ofWav, ofFlac, ofOgg, ofMp3].map((reader) => {
    try {
      return reader(bytes);
    } catch (fault) {
      if (fault instanceof RangeError) return undefined; // ends before its header does
      throw fault;
    }
  });
  return read.find((rate) => rate && rate >= RATES[0] && rate <= RATES[1]);
}

function ofWav(bytes: DataView): number | undefined {
  if (text(bytes, 0, 4) !== "RIFF" || text(bytes, 8, 4) !== "WAVE") return undefined;
  let at = 12;
  while (text(bytes, at, 4) !== "fmt ") at += 8 + bytes.getUint32(at + 4, true) + (bytes.getUint32(at + 4, true) % 2);
  return bytes.getUint32(at + 12, true);
}

function ofFlac(bytes: DataView): number | undefined {
  return text(bytes, 0, 4) === "fLaC" ? bytes.getUint32(18) >>> 12 : undefined;
}

function ofOgg(bytes: DataView): number | undefined {
  if (text(bytes, 0, 4) !== "OggS") return undefined;
  const packet = 27 + bytes.getUint8(26);
  return text(bytes, packet + 1, 6) === "vorbis" ? bytes.getUint32(packet + 12, true) : 48_000; // Opus always
}

function ofMp3(bytes: DataView): number | undefined {
  let at = 0;
  if (text(bytes, 0, 3) === "ID3") {
    const size = [6, 7, 8, 9].reduce((sum, k) => sum * 128 + bytes.getUint8(k), 0);
    at = 10 + size;
  }
  const head = bytes.getUint32(at);
  const [layer, version] = [(head >>> 17) & 3, (head >>> 19) & 3];
  if (head >>> 21 !== 0x7ff || !layer || version === 1) return undefined;
  return [44_100, 48_000, 32_000][(head >>> 10) & 3] / [4, 1, 2, 1][version];
}

function text(bytes: DataView, at: number, length: number): string {
  return String.fromCharCode(...Array.from({ length }, (_, k) => bytes.getUint8(at + k)));
}
