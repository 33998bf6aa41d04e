/**
 * Does a .pt file find the same here as with the package that made it?
 *
 *     PEER_VENV=… node bench/peers/weights.mjs WEIGHTS.pt DATA.yaml [IMGSZ]
 *
 * Starts weights.py beside this file for the reference's numbers, measures the same file with Mezzo in fp32, and prints
 * one JSON document. Exit code 1 when mAP differs by more than 0.2 points, or less than 99 % of the reference's boxes on
 * the val images are found (IoU > 0.99, same class, score within 0.005).
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { YOLO } from '../../packages/detect/dist/src/index.js';

const MAP_POINTS = 0.002;
const FOUND_SHARE = 0.99;
const [weights, data, imgsz = '320'] = process.argv.slice(2);
const venv = process.env.PEER_VENV;
if (!weights || !data || !venv) throw new Error('PEER_VENV=… node weights.mjs WEIGHTS.pt DATA.yaml [IMGSZ]');

const script = fileURLToPath(new URL('weights.py', import.meta.url));
const judged = execFileSync(path.join(venv, 'bin', 'python'), [script, 'judge', weights, data, imgsz], {
  encoding: 'utf8',
  maxBuffer: 2 ** 28,
});
const theirs = JSON.parse(judged.trim().split('\n').at(-1));

const common = { imgsz: Number(imgsz), device: 'cpu' };
const model = await YOLO.load(weights);
const metrics = await model.val({ ...common, data, plots: false });
const folder = path.join(path.dirname(data), 'images', 'val');
const ours = new Map();
for (const name of readdirSync(folder)) {
  const [result] = await model.predict(path.join(folder, name), common);
  ours.set(name, result.toJSON().boxes);
}

function iou([ax1, ay1, ax2, ay2], [bx1, by1, bx2, by2]) {
  const width = Math.max(0, Math.min(ax2, bx2) - Math.max(ax1, bx1));
  const height = Math.max(0, Math.min(ay2, by2) - Math.max(ay1, by1));
  const shared = width * height;
  return shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared);
}

let boxes = 0;
let found = 0;
let largestScoreGap = 0;
for (const [name, expected] of Object.entries(theirs.boxes)) {
  const free = [...(ours.get(name) ?? [])];
  for (const box of expected) {
    boxes += 1;
    const at = free.findIndex(
      ({ cls, conf, xyxy }) => cls === box.cls && Math.abs(conf - box.conf) <= 0.005 && iou(xyxy, box.xyxy) > 0.99,
    );
    if (at < 0) continue;
    found += 1;
    largestScoreGap = Math.max(largestScoreGap, Math.abs(free[at].conf - box.conf));
    free.splice(at, 1);
  }
}
const own = [...ours.values()].reduce((sum, list) => sum + list.length, 0);
const report = {
  weights: path.basename(weights),
  imgsz: Number(imgsz),
  map50: { reference: theirs.map50, mezzo: metrics.box.map50 },
  map: { reference: theirs.map, mezzo: metrics.box.map },
  boxes: { reference: boxes, mezzo: own, found, share: found / boxes, largestScoreGap },
};
const equal = ['map50', 'map'].every((key) => Math.abs(report[key].reference - report[key].mezzo) <= MAP_POINTS);
report.passed = equal && boxes > 0 && found / boxes >= FOUND_SHARE;
console.log(JSON.stringify(report, null, 2));
process.exitCode = report.passed ? 0 : 1;
