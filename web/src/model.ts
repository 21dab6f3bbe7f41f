/** The model beside the page: fetched, checked against what it said when it was exported, and asked. */

import glueUrl from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import * as ort from "onnxruntime-web/wasm";

import { mask, type Shape } from "./attention";
import { Fault } from "./faults";
import type { FeatureConfig } from "./features";
import type { Windowing } from "./timeline";

const MOST_THREADS = 4; // more of them wait for each other in a network this small
const GOLDEN_FORMULA = "image[0][band][column] = (band * column mod 128) / 127, for every band and column";

/** model.json: what `feltone export --to web` and `feltone serve` say about the model. */
export interface ModelRecord extends Shape {
  name: string;
  version: string; // of Feltone
  precision: string;
  file: string; // the graph, beside model.json
  bytes: number;
  sha256: string;
  labels: string[];
  unsure_below: number; // highest probability below which an answer is unsure
  features: FeatureConfig;
  windowing: Windowing;
  source: string | null;
  licence: string | null;
  model_card: string | null;
  golden: { formula: string; probabilities: number[]; tolerance: number };
}

/** What the network says of an image. */
export interface Answer {
  probabilities: number[];
  mask: Float32Array; // of the image's shape
}

export class Model {
  private constructor(
    readonly record: ModelRecord,
    private readonly session: ort.InferenceSession,
  ) {}

  /** Fetch and check the model below `folder`; `progress` is told the share of it that has come. */
  static async open(folder: string, wished: number | null, progress: (share: number) => void): Promise<Model> {
    if (typeof WebAssembly === "undefined")
      throw new Fault("This browser has no WebAssembly, which the model runs on: allow it, or use another browser.");
    const record = (await (await fetched(new URL("model.json", folder))).json()) as ModelRecord;
    const graph = new URL(record.file, folder);
    graph.searchParams.set("sha256", record.sha256); // another model is another address, whatever was cached
    const bytes = await received(await fetched(graph), record.bytes, progress);
    await compare(bytes, record.sha256);
    const threads = globalThis.crossOriginIsolated ? (wished ?? goodThreads()) : 1;
    ort.env.wasm.wasmPaths = { mjs: glueUrl, wasm: wasmUrl };
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 } as const;
    const session = await ort.InferenceSession.create(bytes, options).catch((refusal: Error) => {
      throw new Fault(
        `The model cannot be started here (${refusal.message}): reload the page, or use a newer browser.`,
      );
    });
    const model = new Model(record, session);
    await model.verify();
    return model;
  }

  /** Ask about one image, (mel_bands, columns). */
  async ask(image: Float32Array): Promise<Answer> {
    const { mel_bands: bands, columns } = this.record.features;
    const outputs = await this.session.run({ image: new ort.Tensor("float32", image, [1, bands, columns]) });
    const attention = outputs.attention;
    return {
      probabilities: softmax(outputs.logits.data as Float32Array),
      mask: mask(attention.data as Float32Array, attention.dims[2], this.record),
    };
  }

  /** Refuse a model that does not say here what it said where it was exported. */
  private async verify(): Promise<void> {
    const { golden, features, name } = this.record;
    if (golden.formula !== GOLDEN_FORMULA)
      throw new Fault(`The model ${name} cannot be checked by this page: export both with one version of Feltone.`);
    const { mel_bands: bands, columns } = features;
    const image = Float32Array.from(
      { length: bands * columns },
      (_, k) => ((Math.floor(k / columns) * (k % columns)) % 128) / 127,
    );
    const { probabilities } = await this.ask(image);
    const difference = Math.max(...golden.probabilities.map((expected, k) => Math.abs(probabilities[k] - expected)));
    if (!(difference <= golden.tolerance)) {
      const apart = difference.toExponential(1);
      throw new Fault(
        `The model ${name} does not answer here as it did when it was exported (${apart} apart): use another browser.`,
      );
    }
  }
}

/** One core is left for the page, whose drawing would wait for the network and the network for it. */
function goodThreads(): number {
  return Math.max(1, Math.min(MOST_THREADS, navigator.hardwareConcurrency - 1));
}

async function fetched(address: URL): Promise<Response> {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok)
    throw new Fault(`The model cannot be fetched (${address.pathname}): check the connection and reload the page.`);
  return response;
}

async function received(response: Response, size: number, progress: (share: number) => void): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let at = 0;
  const reader = response.body!.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    if (at + piece.value.length > size)
      throw new Fault("The model is longer than its description says: reload the page.");
    bytes.set(piece.value, at);
    at += piece.value.length;
    progress(at / size);
  }
  return bytes;
}

/** Only secure pages have digests; the golden input is asked for in any case. */
async function compare(bytes: Uint8Array, expected: string): Promise<void> {
  if (!globalThis.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== expected) throw new Fault("The model was altered or damaged on its way (SHA-256): reload the page.");
}

function softmax(logits: Float32Array): number[] {
  const most = Math.max(...logits);
  const exponentials = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => Math.fround(value / sum));
}
