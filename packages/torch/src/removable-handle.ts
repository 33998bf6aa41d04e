/** What registering a hook gives (torch.utils.hooks.RemovableHandle). A second `remove` does nothing. */
export interface RemovableHandle {
  remove(): void;
}

/** Puts `item` last into `list`; the handle takes exactly this entry out again. */
export function insert<T extends object>(
  list: T[],
  item: T,
  removed: () => void = () => {},
): RemovableHandle {
  list.push(item);
  let present = true;
  return {
    remove: () => {
      if (!present) return;
      present = false;
      list.splice(list.indexOf(item), 1);
      removed();
    },
  };
}
