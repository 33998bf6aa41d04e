import { COMMAND_LINE_OPTIONS, joinLayers } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { dualTraining } from '../dual.ts';
import { runTraining } from './train.ts';

export const trainDual: Command = {
  name: 'train-dual',
  usage: [
    'mezzo train-dual data=DATA.yaml [fusion=mid] [model=yolo11n] [option=value …]',
    'mezzo train-dual resume=true',
  ],
  about:
    'Trains a detector of two streams on pairs of visible and infrared pictures: mezzo train with fusion=mid and ' +
    'model=yolo11n unless given (the blocks and the size of the streams). Infrared pictures are found by the names of ' +
    'the folders (images and imagesIR, visible and infrared) or by train_ir: and val_ir: of the yaml. The run goes to ' +
    'runs/fuse/train (train2, …). Exit code 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted.',
  examples: [
    ['mezzo train-dual --batch 32 --epochs 100 --data llvip.yaml --fusion mid', "YOLOFuse's spelling"],
    ['mezzo data night --out night && mezzo train-dual data=night/data.yaml imgsz=320', 'generated pairs'],
    [
      'mezzo train-dual data=night/data.yaml fusion=gated modality_dropout=0.1',
      'pixel by pixel, and able to do without a sensor',
    ],
    ['mezzo train data=night/data.yaml model=yolo11n modality=infrared', 'to compare with: one sensor alone'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'train',
  operands: false,
  run: async (call) =>
    runTraining(call, 'train-dual', dualTraining(await joinLayers('train', call.assignments))),
};
