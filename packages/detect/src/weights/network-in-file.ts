import { isModule, MezzoError, type PtFile, type PtObject, type PtTensor, type PtValue } from '@mezzo/torch';

/** The network that a .pt file holds. */
export interface NetworkInFile {
  /** Its tensors by published name (`model.0.conv.weight`), in the file's order. */
  readonly state: ReadonlyMap<string, PtTensor>;
  /** The network as it was saved, where it was saved as an object; null for a dict of tensors. */
  readonly module: PtObject | null;
}

/** Where trainers keep the network, best first: the averaged weights are what validation and prediction use. */
const PLACES = ['ema', 'model', 'state_dict', 'model_state_dict'];

/** Networks of other tasks, by the last part of their class name, as a clause. */
const OTHER_TASKS: Readonly<Record<string, string>> = {
  SegmentationModel: 'segment',
  ClassificationModel: 'classify',
  PoseModel: 'estimate poses',
  OBBModel: 'find oriented boxes',
};
/** Classes of the detectors of ultralytics.nn.tasks (all versions) and of YOLOv5's models.yolo (`Model` before 6.2). */
const DETECTORS = ['DetectionModel', 'Model'];

/**
 * Names under which wrappers put the network, outermost first: DistributedDataParallel, and the class that is used for
 * calling, in which published names begin with `model.` once more.
 */
const PREFIXES = [
  { prefix: 'module.', cut: 'module.' },
  { prefix: 'model.model.', cut: 'model.' },
] as const;

/**
 * Finds the network in a checkpoint of Ultralytics or YOLOv5, in a network saved whole, or in a dict of tensors.
 * @throws {MezzoError} UNSUPPORTED_WEIGHTS when there is none, or one of another task
 */
export function networkIn(file: PtFile): NetworkInFile {
  const part = partOf(file.value);
  if (isModule(part)) checkTask(file.path, part);
  const found = file.stateDict(part);
  if (found === undefined || found.size === 0) {
    throw new MezzoError('UNSUPPORTED_WEIGHTS', `${file.path} holds no network: ${contentOf(file.value)}`, {
      hint: 'give a checkpoint of Ultralytics or YOLOv5, or a state dict: torch.save(model.state_dict(), path)',
    });
  }
  return { state: withoutPrefix(found), module: isModule(part) ? part : null };
}

function partOf(value: PtValue): PtValue {
  if (!(value instanceof Map)) return value;
  for (const place of PLACES) {
    const part = value.get(place);
    if (isModule(part) || part instanceof Map) return part;
  }
  return value;
}

function checkTask(path: string, { className }: PtObject): void {
  const kind = className.split('.').at(-1)!;
  if (DETECTORS.includes(kind)) return;
  const other = OTHER_TASKS[kind];
  const what = other === undefined ? `of class ${className}` : `made to ${other}`;
  throw new MezzoError('UNSUPPORTED_WEIGHTS', `${path} holds a network ${what}; Mezzo trains detectors`, {
    hint: 'take over the tensors that fit with model=yolov8n pretrained=FILE, from a state dict saved in Python',
  });
}

function contentOf(value: PtValue): string {
  if (!(value instanceof Map)) return 'neither a network nor a dict';
  const keys = Array.from(value.keys(), named).slice(0, 8);
  return `its keys are ${keys.join(', ') || 'none'}${value.size > keys.length ? ', …' : ''}`;
}

/** A key as text. Lists in the place of one may share their parts, and be endless when written out. */
const named = (key: PtValue): string =>
  typeof key === 'string' || typeof key === 'number' ? String(key).slice(0, 40) : 'something else than text';

function withoutPrefix(state: ReadonlyMap<string, PtTensor>): ReadonlyMap<string, PtTensor> {
  let names = [...state.keys()];
  for (const { prefix, cut } of PREFIXES) {
    if (names.every((name) => name.startsWith(prefix))) names = names.map((name) => name.slice(cut.length));
  }
  return new Map(Array.from(state.values(), (tensor, i) => [names[i]!, tensor]));
}
