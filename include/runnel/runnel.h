/*
 * runnel.h - all of runnel: a coroutine per connection, on all cores
 */
#ifndef RUNNEL_RUNNEL_H
#define RUNNEL_RUNNEL_H

#include <runnel/admin.h>
#include <runnel/ancillary.h>
#include <runnel/base.h>
#include <runnel/bufio.h>
#include <runnel/copy.h>
#include <runnel/fd.h>
#include <runnel/http.h>
#include <runnel/http_client.h>
#include <runnel/interfaces.h>
#include <runnel/message.h>
#include <runnel/net.h>
#include <runnel/process.h>
#include <runnel/resolve.h>
#include <runnel/sockopt.h>
#include <runnel/stats.h>
#include <runnel/sync.h>
#include <runnel/task.h>

#endif
