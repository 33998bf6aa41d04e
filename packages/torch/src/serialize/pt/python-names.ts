import type { PtGlobal } from './values.ts';

/**
 * Modules of Python whose mere mention makes a file unsafe: no state of a network names them, and the published attacks
 * do. Whole modules; what is under them too.
 */
const FORBIDDEN_MODULES: ReadonlySet<string> = new Set([
  ...['os', 'posix', 'nt', 'sys', 'subprocess', '_posixsubprocess', 'multiprocessing', 'signal', 'pty'],
  ...['runpy', 'importlib', '_frozen_importlib', 'imp', 'pkgutil', 'zipimport', 'pip', 'ensurepip', 'venv'],
  ...['code', 'codeop', 'pdb', 'bdb', 'cProfile', 'timeit', 'doctest', 'pydoc', 'idlelib'],
  ...[
    'ctypes',
    '_ctypes',
    'cffi',
    'gc',
    'inspect',
    'operator',
    '_operator',
    'asyncio',
    'threading',
    '_thread',
  ],
  ...[
    'shutil',
    'io',
    '_io',
    'tempfile',
    'mmap',
    'pickle',
    '_pickle',
    'cPickle',
    'dill',
    'cloudpickle',
    'marshal',
  ],
  ...[
    'shelve',
    'socket',
    '_socket',
    'ssl',
    'http',
    'urllib',
    'ftplib',
    'smtplib',
    'telnetlib',
    'requests',
    'webbrowser',
  ],
]);

/** What may be named of Python's built-ins: types of plain data, and getattr, which is kept as an object. */
const BUILTINS: ReadonlySet<string> = new Set([
  ...[
    'set',
    'frozenset',
    'list',
    'tuple',
    'dict',
    'object',
    'type',
    'slice',
    'range',
    'getattr',
    'NotImplemented',
  ],
  ...['bytearray', 'bytes', 'complex', 'int', 'float', 'bool', 'str', 'Ellipsis', 'print'],
]);
const BUILTIN_MODULES: ReadonlySet<string> = new Set(['builtins', '__builtin__']);

/** Functions that files of weights call on load; here their result is an object that only remembers the call. */
const INERT_FUNCTIONS: ReadonlySet<string> = new Set([
  ...['getattr', 'slice', 'range', 'complex', 'object', 'type', 'int', 'float', 'bool', 'str'].flatMap(
    (name) => [...BUILTIN_MODULES].map((module) => `${module}.${name}`),
  ),
  ...['copyreg', 'copy_reg'].map((module) => `${module}._reconstructor`),
  ...['numpy.core.multiarray', 'numpy._core.multiarray'].flatMap((module) => [
    `${module}.scalar`,
    `${module}._reconstruct`,
  ]),
  ...['numpy.core.numeric', 'numpy._core.numeric'].map((module) => `${module}._frombuffer`),
  ...['numpy.dtype', 'numpy.ndarray'],
  ...['datetime.datetime', 'datetime.date', 'datetime.time', 'datetime.timedelta', 'datetime.timezone'],
  ...['functools.partial', 'collections.deque'],
  ...['torch.device', 'torch.Generator', 'torch.serialization._get_layout'],
  ...[
    '_rebuild_qtensor',
    '_rebuild_sparse_tensor',
    '_rebuild_sparse_csr_tensor',
    '_rebuild_nested_tensor',
    '_rebuild_meta_tensor_no_storage',
    '_rebuild_device_tensor_from_numpy',
    '_rebuild_device_tensor_from_cpu_tensor',
    '_rebuild_wrapper_subclass',
  ].map((name) => `torch._utils.${name}`),
]);

/** Does naming this ask for code that no weights need? */
export function isForbidden({ module, name }: PtGlobal): boolean {
  if (BUILTIN_MODULES.has(module)) return !BUILTINS.has(name);
  return FORBIDDEN_MODULES.has(module.split('.')[0]!);
}

export const isInertFunction = ({ path }: PtGlobal): boolean => INERT_FUNCTIONS.has(path);

/** Python's convention: classes begin with a capital letter, functions do not. */
export const looksLikeClass = ({ name }: PtGlobal): boolean => /^_*[A-Z]/.test(name.split('.').at(-1)!);
