/** The page's side of the worker. */

import { Fault } from "./faults";
import type { FromWorker, LiveView, Name, Requests, View } from "./protocol";

export class Engine {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, { resolve: (answer: never) => void; reject: (fault: Fault) => void }>();
  private asked = 0;

  /** @param progress told the share of the model that has come; @param live told every live view */
  constructor(progress: (share: number) => void, live: (view: LiveView) => void) {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if ("progress" in data) progress(data.progress);
      else if ("live" in data) live(measured(data.live));
      else this.answered(data);
    };
    this.worker.onerror = () => {
      const fault = new Fault("The page's worker could not be started: reload the page, or use a newer browser.");
      for (const { reject } of this.waiting.values()) reject(fault);
      this.waiting.clear();
    };
  }

  /** Ask the worker for something; a `Fault` where it cannot be had. */
  ask<N extends Name>(
    name: N,
    given: Requests[N]["given"],
    transfer: Transferable[] = [],
  ): Promise<Requests[N]["answer"]> {
    const id = this.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, name, given }, transfer);
    });
  }

  /** Recognise a window of the recording. */
  async look(start: number, end: number): Promise<View> {
    return measured(await this.ask("look", { start, end }));
  }

  /** Pass live sound on. */
  sound(sound: Float32Array): void {
    this.worker.postMessage({ sound }, [sound.buffer]);
  }

  private answered(data: Extract<FromWorker, { id: number }>): void {
    const { resolve, reject } = this.waiting.get(data.id)!;
    this.waiting.delete(data.id);
    if ("fault" in data) reject(new Fault(data.fault));
    else resolve(data.answer as never);
  }
}

/** Notes what a view took where the browser's developer tools, and benchmarks/browser.py, look for it. */
function measured<V extends View>(view: V): V {
  if (view.scores) {
    const start = performance.now();
    performance.measure("features", { start, duration: view.cost.features });
    performance.measure("network", { start, duration: view.cost.network });
  }
  return view;
}
