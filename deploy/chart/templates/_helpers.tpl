{{- define "nas.name" -}}
{{- printf "%s-nas" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "nas.labels" -}}
app.kubernetes.io/name: nas-service
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "nas.selector" -}}
app.kubernetes.io/name: nas-service
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "nas.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "nas.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "nas.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "nas.probe" -}}
{{- if .Values.tls.secretName -}}
tcpSocket: {port: users}
{{- else -}}
grpc: {port: 7070, service: nas.rpc.v1.SearchService}
{{- end -}}
{{- end -}}

{{- define "nas.rayAuth" -}}
- {name: RAY_AUTH_MODE, value: token}
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ required "ray.authSecret is required" .Values.ray.authSecret }}
      key: auth_token
{{- end -}}

{{/* Ray's servers answer gRPC's health check, without a token. Whether the other processes of a node live, `ray start
     --block` watches: the container ends with any of them. A node whose processors all evaluate may answer late. */}}
{{- define "nas.rayProbes" -}}
readinessProbe:
  grpc: {port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  grpc: {port: {{ . }}}
  initialDelaySeconds: 60
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 12
{{- end -}}

{{/* What work on Ray's nodes reads and writes: the data of jobs, and, where several nodes can mount it, the home
     with supernets and checkpoints, without which there are no trainings by several workers and no finalists. */}}
{{- define "nas.rayMounts" -}}
{{- if has "ReadWriteMany" .Values.home.accessModes -}}
- {name: home, mountPath: /var/lib/nas}
{{ end -}}
{{- if .Values.data.existingClaim -}}
- {name: data, mountPath: /data, readOnly: true}
{{- end -}}
{{- end -}}

{{- define "nas.rayVolumes" -}}
{{- if has "ReadWriteMany" .Values.home.accessModes -}}
- name: home
  persistentVolumeClaim: {claimName: {{ include "nas.name" . }}-home}
{{ end -}}
{{- if .Values.data.existingClaim -}}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.data.existingClaim }}, readOnly: true}
{{- end -}}
{{- end -}}
