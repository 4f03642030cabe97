/* SPDX-License-Identifier: BSD-3-Clause */
/* MSI-X of a function, for function.c. */
#ifndef RIDGE_PCI_INTERNAL_H
#define RIDGE_PCI_INTERNAL_H

#include "pci/function.h"

void pci_msix_reset(struct pci_function *fn);
void pci_msix_bar_read(struct pci_function *fn, uint64_t offset, void *data, uint8_t len);
void pci_msix_bar_write(struct pci_function *fn, uint64_t offset, const void *data, uint8_t len);

#endif
