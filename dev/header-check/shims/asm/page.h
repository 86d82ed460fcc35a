/* The page size is an input of the check: -DPAGE_SHIFT=12, 14 or 16. */
#define PAGE_SIZE (1UL << PAGE_SHIFT)
