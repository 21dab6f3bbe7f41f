/** Runs where sound is rendered: collects the microphone's blocks and hands them to the page. */

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

const SIZE = 2048; // samples handed over at once

class Capture extends AudioWorkletProcessor {
  private held = new Float32Array(SIZE);
  private count = 0;

  process([channels]: Float32Array[][]): boolean {
    const length = channels[0]?.length ?? 0;
    for (let k = 0; k < length; k++) {
      this.held[this.count++] = channels.reduce((sum, channel) => sum + channel[k], 0) / channels.length;
      if (this.count === SIZE) {
        this.port.postMessage(this.held, [this.held.buffer]);
        this.held = new Float32Array(SIZE);
        this.count = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
