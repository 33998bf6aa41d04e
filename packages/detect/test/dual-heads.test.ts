import { testFusions } from './dual-runs.ts';

testFusions([
  ['decision', 'yolo11n'],
  ['gated', 'yolov8n'],
  ['cross-attention', 'yolo11n'],
]);
