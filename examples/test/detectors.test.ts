import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pyramidAnchors } from '@mezzo/detect';
import { arange, cat, manualSeed, nn, stack, type Tensor } from '@mezzo/torch';
import { EfficientDet } from '../bifpn.ts';
import { NAMES, Shapes } from '../data/shapes.ts';
import { ANCHORS, LEVELS, type Outputs, predictions, RetinaNet, retinaLoss, SIDE } from '../retinanet.ts';
import { DTYPES, oneStep } from './one-step.ts';

const pictures = new Shapes({ count: 4, side: SIDE, seed: 0, split: 'train', device: 'cpu' });
const batch = pictures.batch(arange(4));
const anchors = pyramidAnchors(LEVELS, ANCHORS);

const NETWORKS: [name: string, create: () => nn.Module & { forward(images: Tensor): Outputs }][] = [
  ['RetinaNet', () => new RetinaNet()],
  ['EfficientDet', () => new EfficientDet()],
];

for (const [name, create] of NETWORKS) {
  describe(name, () => {
    manualSeed(0);
    const model = create();

    it('answers for every anchor, and holds an object to be as probable as the prior says', () => {
      const outputs = model.forward(batch.images);
      assert.deepEqual(outputs.logits.shape, [4, anchors.size(0), NAMES.length]);
      const found = predictions(anchors, outputs);
      assert.deepEqual(found.shape, [4, 4 + NAMES.length, anchors.size(0)]);
      const probability = Number(found.narrow(1, 4, NAMES.length).mean().item());
      assert.ok(probability > 0.005 && probability < 0.02, `${probability}`);
    });

    it('makes a finite step in every precision', () => {
      for (const dtype of DTYPES) {
        // A scale of 2^16 is too high at the start for fp16; in training it comes down by itself.
        const loss = () => retinaLoss(anchors, model.forward(batch.images), batch).div(64);
        const value = 64 * oneStep(dtype, model, loss);
        assert.ok(value > 0.1 && value < 20, `${dtype}: ${value}`);
      }
    });
  });
}

describe('pictures of figures', () => {
  it('are the same for a seed, and others for another seed and held out', () => {
    const of = (seed: number, split: 'train' | 'held out') =>
      new Shapes({ count: 2, side: 32, seed, split, device: 'cpu' }).batch(arange(2));
    assert.ok(of(1, 'train').images.equal(of(1, 'train').images));
    assert.ok(!of(1, 'train').images.equal(of(2, 'train').images));
    assert.ok(!of(1, 'train').boxes.equal(of(1, 'held out').boxes));
  });

  it('give the truth the highest mAP, and boxes at other places 0', () => {
    const map50 = (shift: number) => {
      // One prediction for every place of a box; places without one have no score.
      const [x1, y1, x2, y2] = batch.boxes.add(shift).unbind(-1) as [Tensor, Tensor, Tensor, Tensor];
      const boxes = stack([x1.add(x2).div(2), y1.add(y2).div(2), x2.sub(x1), y2.sub(y1)], -1);
      const scores = nn.functional.oneHot(batch.classes, NAMES.length).mul(x2.gt(x1).unsqueeze(-1));
      const found = cat([boxes, scores.float()], -1).transpose(1, 2);
      return pictures.map50(new RetinaNet(), () => found);
    };
    assert.equal(map50(0), 0.995); // the area of a curve that drops to 0 behind its end
    assert.equal(map50(40), 0);
  });
});
