export { type Drift, driftsOf, type FormatLimits, limitsOf } from './drift.ts';
export { FlightRecorder, type FlightRecorderOptions, type RecordedWindow } from './flight-recorder.ts';
export { recordingPage } from './page.ts';
export { KINDS, type Kind, Recording, type RecordingFile, type Sample } from './recording.ts';
export { recordingText } from './text.ts';
