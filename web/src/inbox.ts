/** Recordings that come by drag and drop or from the clipboard. */

/** Let them come; `drop` is shown while one hovers over the page. */
export function receive(drop: HTMLElement, take: (file: File) => void): void {
  const first = (data: DataTransfer | null) => [...(data?.files ?? [])][0];
  let inside = 0; // how many elements deep the pointer is: entering one comes before leaving the other
  const hover = (change: number) => {
    inside = Math.max(0, inside + change);
    drop.classList.toggle("shown", inside > 0);
  };
  document.addEventListener("dragenter", (event) => event.dataTransfer?.types.includes("Files") && hover(1));
  document.addEventListener("dragleave", (event) => event.dataTransfer?.types.includes("Files") && hover(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    hover(-inside);
    const file = first(event.dataTransfer);
    if (file) take(file);
  });
  document.addEventListener("paste", (event) => {
    const file = first(event.clipboardData);
    if (file) take(file);
  });
}
