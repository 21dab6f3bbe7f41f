/** Plays a recording and says where it is. */

export class Player {
  private readonly audio = new Audio();
  private frame = 0;

  /** @param moved told the time in seconds while it plays and when it is set; @param turned when it starts or stops */
  constructor(
    private readonly moved: (seconds: number) => void,
    turned: (playing: boolean) => void,
  ) {
    this.audio.onplay = () => {
      turned(true);
      this.follow();
    };
    this.audio.onpause = this.audio.onended = () => {
      turned(false);
      cancelAnimationFrame(this.frame);
    };
  }

  /** Have another recording ready, or none. */
  load(recording: Blob | null): void {
    this.audio.pause();
    if (this.audio.src) URL.revokeObjectURL(this.audio.src);
    if (recording) this.audio.src = URL.createObjectURL(recording);
    else this.audio.removeAttribute("src");
  }

  /** Play, or pause. */
  async toggle(): Promise<void> {
    if (this.audio.paused) await this.audio.play();
    else this.audio.pause();
  }

  /** Go to a time in seconds. */
  seek(seconds: number): void {
    this.audio.currentTime = seconds;
    this.moved(seconds);
  }

  /** Whether it plays. */
  get playing(): boolean {
    return !this.audio.paused;
  }

  /** Where it is. */
  get seconds(): number {
    return this.audio.currentTime;
  }

  private follow(): void {
    this.moved(this.audio.currentTime);
    this.frame = requestAnimationFrame(() => this.follow());
  }
}
