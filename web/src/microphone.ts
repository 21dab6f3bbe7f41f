/** The microphone, as pieces of sound. */

import captureUrl from "./capture.worklet.ts?worker&url";
import { Fault } from "./faults";

const REFUSALS: Record<string, string> = {
  NotAllowedError: "The microphone is not allowed here: allow it beside the address of the page, then speak again.",
  NotFoundError: "No microphone was found: connect one, or choose a recording instead.",
  NotReadableError: "The microphone is in use or broken: close what uses it, then speak again.",
};

export class Microphone {
  private constructor(
    private readonly stream: MediaStream,
    private readonly context: AudioContext,
  ) {}

  /** Sampling rate of the pieces, in Hz. */
  get rate(): number {
    return this.context.sampleRate;
  }

  /** Open the microphone; a `Fault` saying why it cannot be. */
  static async open(): Promise<Microphone> {
    if (!navigator.mediaDevices)
      throw new Fault("This page may not use a microphone: open it through https or on localhost.");
    // What makes voices easier to understand also makes them more alike: it stays off.
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: plain }).catch((refusal: DOMException) => {
      throw new Fault(
        REFUSALS[refusal.name] ?? `The microphone cannot be used (${refusal.message}): choose a recording instead.`,
      );
    });
    const context = new AudioContext();
    await context.audioWorklet.addModule(captureUrl);
    return new Microphone(stream, context);
  }

  /** Hand over sound from now on; `lost` is told when the microphone goes away. */
  start(sound: (samples: Float32Array) => void, lost: () => void): void {
    const capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }: MessageEvent<Float32Array>) => sound(data);
    this.context.createMediaStreamSource(this.stream).connect(capture);
    for (const track of this.stream.getAudioTracks()) track.onended = lost;
    void this.context.resume();
  }

  /** Let go of the microphone. */
  async close(): Promise<void> {
    for (const track of this.stream.getTracks()) track.stop();
    await this.context.close();
  }
}
