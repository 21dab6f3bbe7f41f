/** Everything that takes time: the model, the images, resampling. Speaks the words of protocol.ts. */

import { told } from "./faults";
import { FrontEnd } from "./features";
import { Listener } from "./listener";
import { Model } from "./model";
import {
  ENVELOPE_SECONDS,
  type FromWorker,
  type Name,
  type Recording,
  type Requests,
  type ToWorker,
  type View,
} from "./protocol";
import { joined, resampled } from "./resample";

let model: Model;
let front: FrontEnd;
let recording: Float32Array = new Float32Array(0);
let listener: Listener | null = null;
let answering = false;
let turn: Promise<unknown> = Promise.resolve();

const answers: { [N in Name]: (given: Requests[N]["given"]) => Promise<Requests[N]["answer"]> } = {
  async open({ folder, threads }) {
    model = await Model.open(folder, threads, (progress) => say({ progress }));
    front = new FrontEnd(model.record.features);
    front.image(Float32Array.from({ length: front.clipSamples }, (_, k) => Math.sin(k * k))); // the first one is slow
    return model.record;
  },
  async hear({ channels, rate }) {
    recording = resampled(mono(channels), rate, front.config.sample_rate);
    return described(recording);
  },
  async look({ start, end }) {
    const { sample_rate: rate } = front.config;
    const begun = performance.now();
    const image = front.image(recording.subarray(Math.round(start * rate), Math.round(end * rate)));
    return view(start, end, image, performance.now() - begun);
  },
  async listen({ rate }) {
    recording = new Float32Array(0);
    listener = new Listener(front, rate);
    return null;
  },
  async stop() {
    recording = listener ? joined(listener.kept) : recording;
    listener = null;
    return { recording: described(recording), samples: recording.slice() };
  },
};

/** Hear more of a live signal. What waits here is heard first, then answered once: a slow device stays up to date. */
function hear(sound: Float32Array): void {
  listener?.hear(sound);
  if (!listener?.due || answering) return;
  answering = true;
  setTimeout(() => void inTurn(answer).finally(() => (answering = false)));
}

async function answer(): Promise<void> {
  if (!listener) return;
  const begun = performance.now();
  const { start, end, image, level, window } = listener.look();
  const found = await view(start, end, image, performance.now() - begun);
  say({ live: { ...found, level, envelope: envelope(window) } });
}

async function view(start: number, end: number, image: Float32Array | null, features: number): Promise<View> {
  const begun = performance.now();
  const answer = image && (await model.ask(image));
  const cost = { features, network: performance.now() - begun };
  return { start, end, image, scores: answer?.probabilities ?? null, mask: answer?.mask ?? null, cost };
}

function described(samples: Float32Array): Recording {
  return { length: samples.length, seconds: samples.length / front.config.sample_rate, envelope: envelope(samples) };
}

function envelope(samples: Float32Array): Float32Array {
  const size = Math.round(ENVELOPE_SECONDS * front.config.sample_rate);
  const found = new Float32Array(2 * Math.ceil(samples.length / size));
  for (let k = 0; k < samples.length; k++) {
    const at = 2 * Math.floor(k / size);
    if (samples[k] < found[at]) found[at] = samples[k];
    if (samples[k] > found[at + 1]) found[at + 1] = samples[k];
  }
  return found;
}

function mono(channels: Float32Array[]): Float32Array {
  if (channels.length === 1) return channels[0];
  const mean = new Float32Array(channels[0].length);
  for (const channel of channels) for (let k = 0; k < mean.length; k++) mean[k] += channel[k] / channels.length;
  return mean;
}

function say(message: FromWorker): void {
  postMessage(message);
}

/** One after the other: the network answers one question at a time. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work);
  turn = mine.catch(() => undefined);
  return mine;
}

async function answered({ id, name, given }: Extract<ToWorker, { id: number }>): Promise<void> {
  try {
    const answer = await inTurn(() => (answers[name] as (given: unknown) => Promise<Requests[Name]["answer"]>)(given));
    say({ id, answer });
  } catch (thrown) {
    say({ id, fault: told(thrown) });
  }
}

onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if ("sound" in data) hear(data.sound);
  else void answered(data);
};
