import { testFusions } from './dual-runs.ts';

testFusions([
  ['early', 'yolov8n'],
  ['data', 'yolo11n'],
  ['mid', 'yolo11n'],
]);
