/**
 * Something the user should know that is no error: what takes long, what was chosen, what is used instead.
 */
export interface Notice {
  code: 'LIBTORCH_CHOSEN' | 'ADDON_COMPILES' | 'CUDA_UNAVAILABLE';
  message: string;
}

let listener: (notice: Notice) => void = () => {};

/** Sets who hears of notices; the library itself never prints. Without a listener they go nowhere. */
export function onNotice(listen: (notice: Notice) => void): void {
  listener = listen;
}

export function notify(notice: Notice): void {
  listener(notice);
}
