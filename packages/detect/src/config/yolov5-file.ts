import { ConfigError } from './errors.ts';
import type { Value } from './option.ts';

/** Keys that only the hyperparameter files of YOLOv5 have. */
const OF_YOLOV5 = ['obj', 'obj_pw', 'anchor_t', 'iou_t', 'fl_gamma'];
/** YOLOv5's own gain of the box loss, which the default stands for where a network has anchors. */
const BOX_GAIN = 0.05;
/** Weight of an object's presence in YOLOv5's class loss; Ultralytics has given the key another meaning. */
const PRESENCE = 1;

/**
 * Options of a YOLOv5 `hyp.*.yaml` in the sense of the table; those of other files as they are. Its learning rate and
 * momentum are SGD's, YOLOv5's default, and `optimizer=auto` would not look at them.
 * @param places where each key stands in the file
 * @throws ConfigError UNSUPPORTED_OPTION
 */
export function fromYolov5(
  options: Readonly<Record<string, Value>>,
  places: ReadonlyMap<string, string>,
): Record<string, Value> {
  if (!OF_YOLOV5.some((key) => places.has(key))) return { ...options };
  const { box, cls_pw: presence = PRESENCE, ...rest } = options;
  if (presence !== PRESENCE) {
    const where = places.get('cls_pw');
    const reason = 'the presence of a class is not weighted in the class loss';
    throw new ConfigError('UNSUPPORTED_OPTION', `${where}cls_pw=${presence}: ${reason}`, {
      option: 'cls_pw',
    });
  }
  return {
    optimizer: 'SGD',
    ...rest,
    ...(box === undefined || box === BOX_GAIN ? {} : { box }),
  };
}
