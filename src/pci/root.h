/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The root complex of a local PF: the host side of the wire for functions that live in this
 * process. It routes accesses by RID, owns the IOMMU's address spaces, and turns messages to the
 * interrupt address range into eventfds, which it programs into a function's MSI-X table when a
 * vector is bound.
 */
#ifndef RIDGE_PCI_ROOT_H
#define RIDGE_PCI_ROOT_H

#include "pci/function.h"

struct pci_root;

/* Returns 0 or a negative errno. */
int pci_root_new(struct pci_root **root);
void pci_root_free(struct pci_root *root);

/* The one IOMMU of the process: cached translations are told apart by it. */
struct iommu *pci_root_iommu(struct pci_root *root);

/* What functions of this root are made with. */
struct pci_upstream *pci_root_upstream(struct pci_root *root);

/* Plugs a function in at its RID, or takes it out: the RID reads all ones then. */
int pci_root_plug(struct pci_root *root, struct pci_function *fn);
void pci_root_unplug(struct pci_root *root, struct pci_function *fn);

/*
 * A handle on a RID, whether or not there is a function: one per user, closed by pci_root_close(),
 * which unmaps everything and unbinds all interrupts. Returns 0, -EBUSY if there is a handle, or
 * -ENOMEM.
 */
int pci_root_open(struct pci_root *root, uint16_t rid, struct pci_access **pa);
void pci_root_close(struct pci_access *pa);

#endif
