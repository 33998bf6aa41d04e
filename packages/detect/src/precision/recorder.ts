import { writeFileSync } from 'node:fs';
import { FlightRecorder, Recording } from '@mezzo/precision';
import type { WindowResult } from '@mezzo/torch';
import type { RunPrecision } from '../engine/precision.ts';
import { fileSystemError } from '../engine/run-folder.ts';
import type { WindowContext, WindowObserver } from '../engine/window-observer.ts';
import { streamOf } from '../fusion/streams.ts';
import type { DetectionModel } from '../models/build.ts';

interface RecorderState {
  windows: number;
  recording: unknown;
}

/** Keeps the flight recorder of a run: its file is written with every sample, so that it survives a crash. */
export class RecorderObserver implements WindowObserver {
  readonly name = 'recorder';
  private readonly file: string;
  private readonly model: DetectionModel;
  private recorder: FlightRecorder;
  private readonly dtype: string;
  /** Optimizer steps of the run whose gradients were seen. */
  private windows = 0;
  private open = false;

  constructor(file: string, model: DetectionModel, { dtype }: RunPrecision) {
    this.file = file;
    this.model = model;
    this.dtype = dtype;
    this.recorder = this.begin();
  }

  beforeBatch(): void {
    if (this.open) return;
    this.open = true;
    this.recorder.begin(this.windows + 1);
  }

  gradients(): void {
    this.recorder.gradients();
    this.windows += 1;
    this.open = false;
  }

  /** @throws MezzoError of the file system */
  afterWindow({ applied, scale }: WindowResult, { step }: WindowContext): void {
    const { recording } = this.recorder;
    const before = recording.samples.at(-1);
    this.recorder.end({ window: step, scale, applied });
    if (recording.samples.at(-1) !== before) this.write();
  }

  state(): RecorderState {
    return { windows: this.windows, recording: this.recorder.recording.toJSON() };
  }

  restore(state: unknown): void {
    if (state === undefined) return;
    const { windows, recording } = state as RecorderState;
    this.windows = windows;
    this.recorder = this.begin(Recording.from(recording, 'the checkpoint'));
  }

  private begin(recording?: Recording): FlightRecorder {
    const { model, dtype } = this;
    const partOf = (layer: string) => streamOf(model.description, layer);
    return new FlightRecorder({ model, dtype, partOf, ...(recording ? { recording } : {}) });
  }

  private write(): void {
    try {
      writeFileSync(this.file, JSON.stringify(this.recorder.recording));
    } catch (error) {
      throw fileSystemError(error, this.file);
    }
  }
}
