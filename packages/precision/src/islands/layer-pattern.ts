/**
 * Tells whether a module's name fits a pattern, as Python's fnmatch does: `*` stands for any characters, dots
 * included, `?` for one; `{a,b}` for either. `model.22` is that module, and all in it by being part of it;
 * `*.bn` is every module called bn; `*` is the model.
 */
export function layerPattern(pattern: string): (name: string) => boolean {
  let depth = 0;
  const source = pattern.replace(/[*?{},]|[\\^$.|+()[\]]/g, (character) => {
    if (character === '*') return '.*';
    if (character === '?') return '.';
    if (character === '{') depth += 1;
    else if (character === '}' && depth > 0) depth -= 1;
    else return character === ',' && depth > 0 ? '|' : `\\${character}`;
    return character === '{' ? '(?:' : ')';
  });
  const fits = new RegExp(`^${source}${')'.repeat(depth)}$`);
  return (name) => fits.test(name);
}
