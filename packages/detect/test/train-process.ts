import { type TrainOptions, YOLO } from '../src/index.ts';

// A training in a process of its own, which a test may kill: options as JSON in the first argument.
const model = await YOLO.load('yolov8n');
await model.train(JSON.parse(process.argv[2]!) as TrainOptions);
