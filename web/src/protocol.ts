/** What the page and its worker say to each other. */

import type { ModelRecord } from "./model";

/** A recording as the worker holds it. */
export interface Recording {
  length: number; // samples at the model's rate
  seconds: number;
  /** Lowest and highest sample of every `ENVELOPE_SECONDS`, in turn. */
  envelope: Float32Array;
}

/** What was heard in a window. */
export interface View {
  start: number; // seconds
  end: number;
  /** Probabilities in the order of the labels; null for silence. */
  scores: number[] | null;
  image: Float32Array | null; // (mel_bands, columns); null for silence
  mask: Float32Array | null;
  cost: Cost;
}

/** Milliseconds that a view took. */
export interface Cost {
  features: number;
  network: number;
}

/** A live view, and the sound since the last one. */
export interface LiveView extends View {
  level: number; // root mean square since the last view, full scale at 1
  envelope: Float32Array; // of the window
}

export const ENVELOPE_SECONDS = 0.01;

/** What the page asks, by name. */
export interface Requests {
  /** Fetch and check the model in a folder; `threads` null for as many as are good. */
  open: { given: { folder: string; threads: number | null }; answer: ModelRecord };
  /** Take channels as the recording from now on. */
  hear: { given: { channels: Float32Array[]; rate: number }; answer: Recording };
  /** Recognise a window of the recording, in seconds. */
  look: { given: { start: number; end: number }; answer: View };
  /** Begin to listen to sound at a rate; what was the recording is forgotten. */
  listen: { given: { rate: number }; answer: null };
  /** Stop listening; all that was heard is the recording now, and its samples are for playing it. */
  stop: { given: null; answer: { recording: Recording; samples: Float32Array } };
}

export type Name = keyof Requests;
export type ToWorker =
  | { [N in Name]: { id: number; name: N; given: Requests[N]["given"] } }[Name]
  | { sound: Float32Array };
export type FromWorker =
  | { id: number; answer: Requests[Name]["answer"] }
  | { id: number; fault: string }
  | { progress: number }
  | { live: LiveView };
