/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap_virt.h - registers of the devices that pass netmap to a guest. */
#ifndef NETMAP_VIRT_H
#define NETMAP_VIRT_H
/*
 * Theory of operation
 *
 * A hypervisor shows a guest two kinds of PCI devices. The memory device maps a
 * whole region as one BAR. The network device, ptnet, is a port in that region:
 * the guest fills the rings itself and tells how far it is through two pages of
 * CSB lines in its own memory, struct nm_csb_atok and nm_csb_ktoa.
 */
#include <net/netmap.h>

#define PTNETMAP_MEMDEV_NAME "ptnetmap-memdev"
#define PTNETMAP_PCI_VENDOR_ID 0x1b36
#define PTNETMAP_PCI_DEVICE_ID 0x000c /* the memory device */
#define PTNETMAP_PCI_NETIF_ID 0x000d  /* ptnet */

/* BARs of both. */
#define PTNETMAP_IO_PCI_BAR 0	/* registers */
#define PTNETMAP_MEM_PCI_BAR 1	/* the region; memory device only */
#define PTNETMAP_MSIX_PCI_BAR 2 /* one vector per ring, TX first */

/* Registers of the memory device: 32 bits, read only. */
#define PTNET_MDEV_IO_MEMSIZE_LO 0
#define PTNET_MDEV_IO_MEMSIZE_HI 4
#define PTNET_MDEV_IO_MEMID 8
#define PTNET_MDEV_IO_IF_POOL_OFS 64
#define PTNET_MDEV_IO_IF_POOL_OBJNUM 68
#define PTNET_MDEV_IO_IF_POOL_OBJSZ 72
#define PTNET_MDEV_IO_RING_POOL_OFS 76
#define PTNET_MDEV_IO_RING_POOL_OBJNUM 80
#define PTNET_MDEV_IO_RING_POOL_OBJSZ 84
#define PTNET_MDEV_IO_BUF_POOL_OFS 88
#define PTNET_MDEV_IO_BUF_POOL_OBJNUM 92
#define PTNET_MDEV_IO_BUF_POOL_OBJSZ 96
#define PTNET_MDEV_IO_END 100

/* Registers of ptnet. */
#define PTNET_IO_PTFEAT 0 /* PTNETMAP_F_*: write wanted, read accepted */
#define PTNET_IO_PTCTL 4  /* PTNETMAP_PTCTL_*; reads 0 if it worked */
#define PTNET_IO_MAC_LO 8
#define PTNET_IO_MAC_HI 12
#define PTNET_IO_CSBBAH 16 /* no longer used */
#define PTNET_IO_CSBBAL 20 /* no longer used */
#define PTNET_IO_NIFP_OFS 24
#define PTNET_IO_NUM_TX_RINGS 28
#define PTNET_IO_NUM_RX_RINGS 32
#define PTNET_IO_NUM_TX_SLOTS 36
#define PTNET_IO_NUM_RX_SLOTS 40
#define PTNET_IO_VNET_HDR_LEN 44
#define PTNET_IO_HOSTMEMID 48
/* Address of the CSB: the high half first; writing the low half maps it. */
#define PTNET_IO_CSB_GH_BAH 52 /* guest to host: nm_csb_atok */
#define PTNET_IO_CSB_GH_BAL 56
#define PTNET_IO_CSB_HG_BAH 60 /* host to guest: nm_csb_ktoa */
#define PTNET_IO_CSB_HG_BAL 64
#define PTNET_IO_END 68
#define PTNET_IO_KICK_BASE 128 /* 4 bytes per ring, TX first */
#define PTNET_IO_MASK 0xff

#define PTNETMAP_F_VNET_HDR 1

#define PTNETMAP_PTCTL_CREATE 1 /* start the loop that syncs the rings */
#define PTNETMAP_PTCTL_DELETE 2

#endif
