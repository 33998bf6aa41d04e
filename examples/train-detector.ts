/**
 * A detector from generated pictures to boxes, in mixed precision:
 *
 *     ./mezzo example train-detector          (about two minutes on two cores)
 */
import { existsSync } from 'node:fs';
import { generateShapes, YOLO } from '@mezzo/detect';

const folder = 'runs/example-shapes';
if (!existsSync(folder)) await generateShapes({ out: folder, train: 256, val: 48, imgsz: 160, seed: 0 });

const model = await YOLO.load('yolov8n');
model.on('start', ({ amp }) => console.log(`precision: ${amp.dtype} (${amp.reason})`));
model.on('epoch', ({ epoch, losses, map50, seconds }) =>
  console.log(
    `epoch ${epoch}: box loss ${losses.box?.toFixed(2)}, mAP50 ${map50.toFixed(3)}, ${seconds.toFixed(1)} s`,
  ),
);
const report = await model.train({
  data: `${folder}/data.yaml`,
  epochs: Number(process.argv[2] ?? 10),
  imgsz: 160,
  batch: 16,
  nbs: 16, // an optimizer step a batch: a short run has few to learn in
  close_mosaic: 3,
  project: 'runs/example',
});
console.log(
  `best weights: mAP50 ${report.box.map50.toFixed(3)}, mAP50-95 ${report.box.map.toFixed(3)}, in ${report.saveDir}`,
);

for (const result of await model.predict(`${folder}/images/val/00000.jpg`, { imgsz: 160 })) {
  for (const { cls, conf, xyxy } of result.boxes) {
    console.log(`${result.names[cls]} ${conf.toFixed(2)} at ${xyxy.map(Math.round).join(', ')}`);
  }
}
