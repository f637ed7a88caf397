/** Whether the text is on the clipboard now. Browsers allow it only right after a key or a click. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
