/**
 * Names and messages hold whatever somebody wrote: line breaks would tear a table, escape sequences could repaint the
 * terminal or hide a line. What is not printable is shown as JSON writes it.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const escaped = JSON.stringify(character).slice(1, -1);
    return escaped === character ? `\\u{${character.codePointAt(0)!.toString(16)}}` : escaped;
  });
}

/** Characters as a terminal counts them, near enough: wide scripts take two cells each. */
export function width(text: string): number {
  let cells = 0;
  for (const character of text) cells += WIDE.test(character) ? 2 : MARK.test(character) ? 0 : 1;
  return cells;
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/u;
const MARK = /\p{Mn}/u;

export function shorten(text: string, cells: number): string {
  if (width(text) <= cells) return text;
  let kept = "";
  for (const character of text) {
    if (width(kept) + width(character) > cells - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

export function pad(text: string, cells: number): string {
  return text + " ".repeat(Math.max(0, cells - width(text)));
}

/** Lines of so many cells at most, broken at a space where there is one in the second half of a line. */
export function wrap(text: string, cells: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const character of text) {
    if (width(line) + width(character) > Math.max(cells, 20)) {
      const space = line.lastIndexOf(" ");
      const end = space > line.length / 2 ? space + 1 : line.length;
      lines.push(line.slice(0, end).trimEnd());
      line = line.slice(end);
    }
    line += character;
  }
  return [...lines, line];
}

/** A value in one line. */
export function inline(value: unknown): string {
  return printable(typeof value === "string" ? value : (JSON.stringify(value) ?? "-"));
}
